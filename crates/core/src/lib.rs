//! Peerloom core.
