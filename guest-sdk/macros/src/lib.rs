//! The #[object] macro.
