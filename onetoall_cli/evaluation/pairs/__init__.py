"""Results against their truth, two results against each other, and what people say of them."""
