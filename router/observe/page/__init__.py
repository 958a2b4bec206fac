"""The page for people: what is served, by whom it is used, and how the router is, in a browser and live."""
