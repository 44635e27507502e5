//! Holds the document against the rules of OpenAPI 3.1.
