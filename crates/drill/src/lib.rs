//! Rehearsing the sale day: the traffic that upstream checkout systems would publish. This room
//! knows the wire contract from the publishers' side only; it holds no stock and decides nothing.

pub mod traffic;
