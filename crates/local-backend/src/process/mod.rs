//! One replica: a program in a folder of its own, under a guard, on a port.

pub(crate) mod command;
mod connections;
mod guard;
pub(crate) mod leftovers;
pub(crate) mod logs;
pub(crate) mod outputs;
mod port;
mod probe;
mod program;
pub(crate) mod replica;
mod unpack;

pub(crate) use port::Ports;
