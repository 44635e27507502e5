//! The system as its users and maintainers see it.
