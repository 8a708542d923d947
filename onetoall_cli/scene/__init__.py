"""People and what is behind them: mattes of a person, other backgrounds, several people in one picture."""
