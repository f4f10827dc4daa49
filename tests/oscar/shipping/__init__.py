"""Oscar's shipping app, forked for its repository of methods."""
