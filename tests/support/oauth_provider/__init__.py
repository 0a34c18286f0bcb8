"""A real provider of OAuth for tests (npm `oidc-provider`), the switches that make it misbehave, and those who sign in.

provider.py starts it and holds its switches · person.py is somebody with a browser · server.mjs is the provider
"""
