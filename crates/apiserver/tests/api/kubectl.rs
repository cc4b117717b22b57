//! The real kubectl against the TLS listener.
