"""The loop from the store to HAProxy, and all that only it uses: deciding when, applying, judging, trying again."""
