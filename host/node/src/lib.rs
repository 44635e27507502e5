//! Hosts objects.
