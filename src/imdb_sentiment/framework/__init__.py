"""What ties the project to Kedro: hooks, session, configuration, lineage, console."""
