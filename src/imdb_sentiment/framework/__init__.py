"""What ties the project to Kedro: hooks, session, tracking."""
