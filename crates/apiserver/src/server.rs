//! Starting the server, its planes and its clients.
