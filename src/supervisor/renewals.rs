//! Renewals of certificates beside the cores. Without the feature `acme` there are none, and the rest of the
//! supervisor does not depend on it.

use std::io;
#[cfg(feature = "acme")]
use std::sync::Arc;

#[cfg(feature = "acme")]
use crate::acme::{Acme, Renewals};
#[cfg(feature = "acme")]
use crate::net::tls::TlsServer;
use crate::plan::{Secret, SecretKind};

/// The renewals of a server.
#[derive(Clone, Debug, Default)]
pub(super) struct PlannedRenewals {
    #[cfg(feature = "acme")]
    planned: Vec<(Acme, Arc<TlsServer>)>,
}

impl PlannedRenewals {
    #[cfg(feature = "acme")]
    pub(super) fn push(&mut self, acme: Acme, tls: Arc<TlsServer>) {
        self.planned.push((acme, tls));
    }

    /// The directories of their keys.
    pub(super) fn secrets(&self) -> Vec<Secret> {
        #[cfg(feature = "acme")]
        let states = self.planned.iter().map(|(acme, _)| acme.state_directory());
        #[cfg(not(feature = "acme"))]
        let states = std::iter::empty::<&std::path::Path>();
        states.map(|path| Secret { kind: SecretKind::AcmeState, path: path.to_owned() }).collect()
    }

    /// Starts each on its own thread.
    pub(super) fn start(&self) -> io::Result<RunningRenewals> {
        Ok(RunningRenewals {
            #[cfg(feature = "acme")]
            running: self
                .planned
                .iter()
                .map(|(acme, tls)| acme.start(tls.clone()))
                .collect::<io::Result<Vec<_>>>()?,
        })
    }
}

/// Running renewals; dropping them stops them.
pub(super) struct RunningRenewals {
    #[cfg(feature = "acme")]
    running: Vec<Renewals>,
}

impl RunningRenewals {
    /// Requests the stop without waiting for it.
    pub(super) fn stop(&self) {
        #[cfg(feature = "acme")]
        self.running.iter().for_each(Renewals::stop);
    }
}
