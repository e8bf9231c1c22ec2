//! The server as browsers and scripts meet it: over HTTP, as a process that can be killed.

mod access;
mod apart;
mod before;
mod copies;
mod crash;
mod forecast;
mod input;
mod kept;
mod latents;
mod load;
mod outlines;
mod preview;
mod sight;
mod story;
mod studio;
mod whole;
mod workers;
mod written;
