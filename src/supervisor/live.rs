//! What of a running server changes with a reload beside its plan: listeners, limits, the access log, the
//! certificates that are watched. Prepared without an effect, and applied once the workers have switched.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::certificates::{CertificateWatch, watch};
use super::error::RunError;
use crate::net::tls::TlsServer;
use crate::net::{Address, BindError, Bound, SocketFile};
use crate::observe::access::{AccessLog, CoreLog, CoreLogs, Destination, Format, LogWriter};
use crate::observe::log;
use crate::plan::Listener;
use crate::server::{Limits, ListeningSocket, WorkerChange};

/// Where an access log goes, and how its lines look.
pub(super) type LogChoice = Option<(Destination, Option<Format>)>;

/// The state, and a lock that is held for as long as it is being changed: a worker that is started again
/// meanwhile begins with the outcome.
#[derive(Clone)]
pub(super) struct LiveServer(Arc<(Mutex<()>, Mutex<Live>)>);

impl LiveServer {
    pub(super) fn new(live: Live) -> Self {
        Self(Arc::new((Mutex::default(), Mutex::new(live))))
    }

    /// Keeps others from changing it, and workers from starting.
    pub(super) fn changing(&self) -> MutexGuard<'_, ()> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state; held for moments only.
    pub(super) fn now(&self) -> MutexGuard<'_, Live> {
        self.0.1.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A listener.
pub(super) struct LiveListener {
    /// The same on every worker.
    pub(super) number: u64,
    /// As it was given.
    pub(super) given: Listener,
    /// With the port that the kernel chose.
    pub(super) address: Address,
    /// One for each worker, for one that is started again. Kept open, so that connections
    /// which the kernel has queued on them are not lost.
    pub(super) sockets: Vec<OwnedFd>,
    /// Removed on drop, so that the next start can bind.
    _file: Option<SocketFile>,
}

impl LiveListener {
    fn tls(&self) -> Option<Arc<TlsServer>> {
        self.given.tls.as_ref().map(|tls| tls.server().clone())
    }

    fn bind(
        number: u64,
        given: &Listener,
        workers: usize,
        unix_mode: Option<u32>,
    ) -> Result<Self, BindError> {
        let Bound { address, sockets, file } = Bound::new(&given.address, workers, unix_mode)?;
        Ok(Self { number, given: given.clone(), address, sockets, _file: file })
    }
}

pub(super) struct Live {
    pub(super) listeners: Vec<LiveListener>,
    numbers: u64,
    pub(super) unix_mode: Option<u32>,
    pub(super) limits: Limits,
    pub(super) access: LogChoice,
    pub(super) log: Option<LogWriter>,
    /// Lines that former logs have written.
    pub(super) written: u64,
    pub(super) certificates: Option<CertificateWatch>,
    quiet: bool,
}

/// What is to change, as it was asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct SettingsChange {
    pub(super) limits: Option<Limits>,
    pub(super) access: Option<LogChoice>,
}

/// What has been bound and opened for a change.
pub(super) struct PreparedChange {
    /// In the order of the new plan: kept ones by their number, or new ones.
    listeners: Vec<(Listener, Result<u64, LiveListener>)>,
    limits: Option<Limits>,
    /// The choice, the writer, and the log of each worker.
    access: Option<(LogChoice, Option<LogWriter>)>,
    pub(super) per_worker: Vec<WorkerChange>,
}

impl Live {
    /// Binds the listeners of a server that starts.
    ///
    /// # Errors
    /// The first address that cannot be bound.
    pub(super) fn bind(
        listeners: &[Listener],
        workers: usize,
        unix_mode: Option<u32>,
        limits: Limits,
        quiet: bool,
    ) -> Result<Self, BindError> {
        let numbered = (0..).zip(listeners);
        let bound = numbered.map(|(number, given)| LiveListener::bind(number, given, workers, unix_mode));
        Ok(Self {
            listeners: bound.collect::<Result<_, _>>()?,
            numbers: listeners.len() as u64,
            unix_mode,
            limits,
            access: None,
            log: None,
            written: 0,
            certificates: None,
            quiet,
        })
    }

    /// The sockets of a worker.
    ///
    /// # Errors
    /// There are no descriptors.
    pub(super) fn sockets_of(&self, worker: usize) -> std::io::Result<Vec<ListeningSocket>> {
        let sockets = self.listeners.iter().filter_map(|listener| {
            let socket = listener.sockets.get(worker)?;
            Some(socket.try_clone().map(|socket| ListeningSocket {
                listener: listener.number,
                socket,
                tls: listener.tls(),
            }))
        });
        sockets.collect()
    }

    /// Closes the sockets of workers from this number on.
    pub(super) fn truncate(&mut self, workers: usize) {
        self.listeners.iter_mut().for_each(|listener| listener.sockets.truncate(workers));
    }

    /// One more log for a worker.
    pub(super) fn another_log(&self) -> Option<CoreLog> {
        self.log.as_ref().map(LogWriter::core_logs).as_ref().map(CoreLogs::another)
    }

    /// The addresses, with the ports that the kernel chose.
    pub(super) fn addresses(&self) -> Vec<Address> {
        self.listeners.iter().map(|listener| listener.address.clone()).collect()
    }

    /// The addresses as clients write them: `https://127.0.0.1:8443`, `unix:/run/quoit.sock`.
    pub(super) fn urls(&self) -> Vec<String> {
        let url = |listener: &LiveListener| match (&listener.address, &listener.given.tls) {
            (Address::Inet(addr), Some(_)) => format!("https://{addr}"),
            (address, _) => address.to_string(),
        };
        self.listeners.iter().map(url).collect()
    }

    /// The TLS of all listeners.
    pub(super) fn tls(&self) -> Vec<Option<Arc<TlsServer>>> {
        self.listeners.iter().map(LiveListener::tls).collect()
    }

    /// Binds what is new, and opens the access log if it is another. Nothing is changed.
    ///
    /// # Errors
    /// What cannot be bound or opened.
    pub(super) fn prepare(
        &mut self,
        listeners: &[Listener],
        change: SettingsChange,
        workers: usize,
    ) -> Result<PreparedChange, RunError> {
        let mut per_worker: Vec<WorkerChange> = (0..workers).map(|_| WorkerChange::default()).collect();
        let mut kept: Vec<&LiveListener> = self.listeners.iter().collect();
        let mut next = Vec::new();
        for given in listeners {
            let known = kept.iter().position(|live| live.given.address == given.address);
            if let Some(known) = known.map(|index| kept.remove(index)) {
                if known.given.tls != given.tls {
                    let tls = given.tls.as_ref().map(|tls| tls.server().clone());
                    per_worker.iter_mut().for_each(|one| one.tls.push((known.number, tls.clone())));
                }
                next.push((given.clone(), Ok(known.number)));
            } else {
                next.push((given.clone(), Err(self.numbers)));
                self.numbers += 1;
            }
        }
        let removed: Vec<u64> = kept.into_iter().map(|live| live.number).collect();
        let mut bound = Vec::new();
        for (given, number) in next {
            let number = match number {
                Ok(known) => Ok(known),
                Err(number) => {
                    let live = LiveListener::bind(number, &given, workers, self.unix_mode)?;
                    for (one, socket) in per_worker.iter_mut().zip(&live.sockets) {
                        let socket = socket.try_clone().map_err(RunError::System)?;
                        one.added.push(ListeningSocket { listener: number, socket, tls: live.tls() });
                    }
                    Err(live)
                }
            };
            bound.push((given, number));
        }
        let access = match change.access {
            None => None,
            Some(choice) => {
                let (writer, logs) = start_log(choice.clone(), workers)?;
                let mut logs = logs.into_iter();
                for one in &mut per_worker {
                    one.access = Some(logs.next());
                    one.secret = log_file(&choice);
                }
                Some((choice, writer))
            }
        };
        for one in &mut per_worker {
            one.removed.clone_from(&removed);
            one.limits.clone_from(&change.limits);
        }
        Ok(PreparedChange { listeners: bound, limits: change.limits, access, per_worker })
    }

    /// Makes a prepared change the state, after the workers have switched. Returns the former log, whose
    /// last lines are to be waited for.
    pub(super) fn apply(&mut self, change: PreparedChange) -> Option<LogWriter> {
        let PreparedChange { listeners, limits, access, per_worker: _ } = change;
        let mut known = std::mem::take(&mut self.listeners);
        for (given, live) in listeners {
            let live = match live {
                Err(live) => Some(live),
                Ok(number) => {
                    let index = known.iter().position(|live| live.number == number);
                    index.map(|index| LiveListener { given, ..known.swap_remove(index) })
                }
            };
            self.listeners.extend(live);
        }
        self.limits = limits.unwrap_or(std::mem::take(&mut self.limits));
        self.watch_certificates();
        let (choice, writer) = access?;
        self.access = choice;
        std::mem::replace(&mut self.log, writer)
    }

    fn watch_certificates(&mut self) {
        let tls = self.tls();
        match &self.certificates {
            Some(certificates) => certificates.watch(tls.into_iter().flatten().collect()),
            None => match watch(&tls, self.quiet) {
                Ok(certificates) => self.certificates = certificates,
                Err(error) => log::line(format_args!("certificates are not watched: no thread: {error}")),
            },
        }
    }

    /// Reopens the access log by its name, after it was renamed.
    pub(super) fn reopen_log(&self) {
        self.log.iter().for_each(LogWriter::reopen);
    }

    /// Reloads the files of all certificates, on the watcher thread.
    pub(super) fn reload_certificates(&self) {
        self.certificates.iter().for_each(CertificateWatch::reload);
    }
}

/// The file of an access log, which no directory may serve.
pub(super) fn log_file(choice: &LogChoice) -> Option<PathBuf> {
    match choice {
        Some((Destination::File(path), _)) => Some(path.clone()),
        _ => None,
    }
}

/// Opens the log and starts its writer: its handle, and the core log of each worker.
pub(super) fn start_log(
    access: LogChoice,
    workers: usize,
) -> Result<(Option<LogWriter>, Vec<CoreLog>), RunError> {
    let Some((destination, format)) = access else { return Ok((None, Vec::new())) };
    let log = AccessLog::open(&destination, format).map_err(RunError::AccessLog)?;
    let (writer, logs) = log.start(workers).map_err(RunError::System)?;
    Ok((Some(writer), logs))
}
