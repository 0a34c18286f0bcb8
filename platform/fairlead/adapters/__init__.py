"""The world behind the ports: engines, clocks, plugins. Third-party exceptions become ours here."""
