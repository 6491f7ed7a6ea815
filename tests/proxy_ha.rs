//! High availability: three endpoints as processes, a quoit in front of them, a steady load, and everything
//! that goes wrong with endpoints. `scripts/chaos` does the same for longer and with more load.

#[path = "proxy_ha/checks.rs"]
mod checks;
#[path = "common/mod.rs"]
mod common;
#[path = "proxy_ha/lab.rs"]
mod lab;
#[path = "proxy_ha/outages.rs"]
mod outages;
