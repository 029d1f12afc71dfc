//! The schema ratchet: what statements mean, what a folder of migrations says, and what a real PostgreSQL says to both.

mod table;
