"""The `builtin` detector: MediaPipe's pose, hand and face networks, which the package ships. CPU, no download."""
