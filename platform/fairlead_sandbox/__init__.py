"""What runs inside the sandbox: one third-party connector, asked by frames, with one way out."""
