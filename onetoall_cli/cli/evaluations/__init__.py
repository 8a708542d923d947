"""What `onetoall evaluate` does, a module for each kind: puppets, benchmarks, pairs, two against each other."""
