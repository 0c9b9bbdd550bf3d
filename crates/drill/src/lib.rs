//! Rehearsing the sale day: the traffic that upstream checkout systems would publish, and the
//! simulator that puts the pipeline through everything that can go wrong on such a day. This room
//! holds no stock and decides nothing: the traffic knows the wire contract from the publishers' side
//! only, the simulator runs the pipeline's own code and has the plain model judge it.

pub mod knee;
pub mod load;
pub mod profile;
pub mod recording;
pub mod report;
pub mod simulator;
pub mod stages;
pub mod threshold;
pub mod traffic;
pub mod translation;
