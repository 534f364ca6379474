"""The connection of the project to Kedro: hooks, session, configuration, lineage, console."""
