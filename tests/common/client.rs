//! A client that sends exactly the given bytes, and reads with a deadline. Follows no rule of HTTP by
//! itself, so that it can break any of them.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{SockFilter, SockRef};

use super::response::{Broken, Response};
use super::{HELLO, PATIENCE, until};

/// How a connection ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// With FIN: everything before it can be read.
    Clean,
    /// With a reset.
    Reset,
}

/// One connection, and the bytes received and not yet parsed.
pub(crate) struct Client {
    stream: TcpStream,
    input: Vec<u8>,
    ended: Option<End>,
}

impl Client {
    /// Connects.
    #[track_caller]
    pub(crate) fn connect(addr: SocketAddr) -> Self {
        Self::try_connect(addr).expect("the server accepts")
    }

    pub(crate) fn try_connect(addr: SocketAddr) -> io::Result<Self> {
        Self::over(TcpStream::connect_timeout(&addr, PATIENCE)?)
    }

    /// Connects with a receive buffer of about `bytes`: little is in flight while it does not read.
    pub(crate) fn connect_narrow(addr: SocketAddr, bytes: usize) -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(bytes).unwrap();
        socket.connect(&addr.into()).unwrap();
        Self::over(socket.into()).unwrap()
    }

    fn over(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream, input: Vec::new(), ended: None })
    }

    /// Sends all of it.
    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.stream.write_all(bytes.as_ref()).expect("the server takes what is sent");
        self
    }

    /// Sends as much as the server accepts; an error is ignored.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Sends it in pieces of these lengths in turn, each in a packet of its own.
    #[track_caller]
    pub(crate) fn send_split(&mut self, bytes: impl AsRef<[u8]>, lengths: &[usize]) {
        let mut rest = bytes.as_ref();
        for &length in lengths.iter().cycle() {
            let (piece, tail) = rest.split_at(length.min(rest.len()));
            self.send(piece);
            rest = tail;
            if rest.is_empty() {
                return;
            }
        }
    }

    /// A handle that sends from another thread.
    pub(crate) fn sender(&self) -> TcpStream {
        self.stream.try_clone().unwrap()
    }

    /// Ends the sending direction.
    pub(crate) fn half_close(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Closes with a reset (SO_LINGER 0).
    pub(crate) fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// From now on nothing arrives here, and nothing is acknowledged: the network has a gap, as a phone's has
    /// in a tunnel. What was received before is thrown away, so that the window is open.
    pub(crate) fn begin_gap(&mut self) {
        const DROP: u16 = 0x06;
        SockRef::from(&self.stream).attach_filter(&[SockFilter::new(DROP, 0, 0, 0)]).unwrap();
        self.limit_wait(Duration::from_millis(1));
        while self.fill_some(1 << 20).is_ok() {
            self.input.clear();
        }
        self.limit_wait(PATIENCE);
    }

    /// Packets arrive again.
    pub(crate) fn end_gap(&mut self) {
        SockRef::from(&self.stream).detach_filter().unwrap();
    }

    /// The next response, to a GET or anything else but HEAD.
    #[track_caller]
    pub(crate) fn response(&mut self) -> Response {
        self.response_to("GET")
    }

    /// The next response to a request with this method.
    #[track_caller]
    pub(crate) fn response_to(&mut self, method: &str) -> Response {
        match self.try_response_to(method) {
            Ok(response) => response,
            Err(broken) => panic!("no whole response: {broken:?}"),
        }
    }

    /// The next response, or why it is incomplete.
    pub(crate) fn try_response_to(&mut self, method: &str) -> Result<Response, Broken> {
        super::response::read(self, method)
    }

    /// Sends and reads one exchange.
    #[track_caller]
    pub(crate) fn ask(&mut self, request: impl AsRef<[u8]>) -> Response {
        let method =
            String::from_utf8_lossy(request.as_ref().split(|&b| b == b' ').next().unwrap()).into_owned();
        self.send(request.as_ref());
        self.response_to(&method)
    }

    /// Asserts that the connection carries another exchange.
    #[track_caller]
    pub(crate) fn is_usable(&mut self) {
        self.is_silent();
        let response = self.ask(HELLO);
        assert_eq!((response.status, response.text()), (200, "Hello, World!".into()));
    }

    /// Asserts that nothing is left to read of what was received.
    #[track_caller]
    pub(crate) fn is_silent(&self) {
        assert!(self.input.is_empty(), "unasked: {:?}", self.input.escape_ascii().to_string());
    }

    /// Asserts that the server closed the connection, without further bytes and without a reset.
    #[track_caller]
    pub(crate) fn is_closed(&mut self) {
        assert_eq!(self.end(), End::Clean, "a reset could have taken the response with it");
    }

    /// Asserts that the server ended the connection, without further bytes; how.
    #[track_caller]
    pub(crate) fn end(&mut self) -> End {
        let rest = self.drain();
        assert!(rest.is_empty(), "unasked: {:?}", rest.escape_ascii().to_string());
        self.ended.expect("drained to the end")
    }

    /// Everything up to the end of the connection.
    #[track_caller]
    pub(crate) fn drain(&mut self) -> Vec<u8> {
        while self.fill().expect("the server ends the connection in time") {}
        std::mem::take(&mut self.input)
    }

    /// How the connection ended, if the end was received.
    pub(crate) fn ended(&self) -> Option<End> {
        self.ended
    }

    /// Asserts that the server neither sends nor closes for this long.
    #[track_caller]
    pub(crate) fn stays_quiet(&mut self, time: Duration) {
        self.is_silent();
        self.stream.set_read_timeout(Some(time)).unwrap();
        let outcome = self.fill();
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        assert!(outcome.is_err(), "said or ended something: {:?}", self.input.escape_ascii().to_string());
    }

    /// Waits until this many bytes were received, and leaves them unread.
    #[track_caller]
    pub(crate) fn receives(&self, bytes: usize) {
        let mut ahead = vec![0; bytes];
        until("input that is left unread", || {
            (self.stream.peek(&mut ahead).expect("the connection goes on") == bytes).then_some(())
        });
    }

    /// Sends this over and over, with this pause, until the server says or ends something.
    #[track_caller]
    pub(crate) fn drip(&mut self, bytes: impl AsRef<[u8]>, every: Duration) {
        let began = Instant::now();
        self.limit_wait(every);
        while self.try_send(bytes.as_ref()).is_ok() && self.fill().is_err() {
            assert!(began.elapsed() < PATIENCE, "a client that drips is never given up");
        }
        self.limit_wait(PATIENCE);
    }

    /// Receives at most `bytes` more, without parsing them: how many.
    ///
    /// # Errors
    /// Nothing came in time, or the connection ended.
    pub(crate) fn fill_some(&mut self, bytes: usize) -> io::Result<usize> {
        let mut buffer = vec![0; bytes];
        let length = self.receive(&mut buffer)?;
        if length == 0 && bytes > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.input.extend_from_slice(&buffer[..length]);
        Ok(length)
    }

    /// What was received and is not parsed yet.
    pub(crate) fn peek(&self) -> &[u8] {
        &self.input
    }

    /// Waits no longer than this for input from now on.
    pub(crate) fn limit_wait(&self, time: Duration) {
        self.stream.set_read_timeout(Some(time)).unwrap();
    }

    /// The error that the connection has met, without reading anything: a reset shows here first.
    pub(crate) fn error(&self) -> Option<io::Error> {
        self.stream.take_error().unwrap()
    }

    /// Closes without a reset.
    pub(crate) fn close(self) {}

    /// Receives more. False at the end.
    ///
    /// # Errors
    /// Nothing came in time.
    pub(crate) fn fill(&mut self) -> io::Result<bool> {
        if self.ended.is_some() {
            return Ok(false);
        }
        let mut buffer = [0; 64 * 1024];
        match self.receive(&mut buffer) {
            Ok(0) => self.ended = Some(End::Clean),
            Ok(length) => self.input.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => self.ended = Some(End::Reset),
            Err(error) => return Err(error),
        }
        Ok(self.ended.is_none())
    }

    /// A thread that started a server has had a ring of its own, whose end may interrupt a call of its.
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.stream.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                outcome => return outcome,
            }
        }
    }

    /// Received and not yet parsed.
    pub(crate) fn input(&mut self) -> &mut Vec<u8> {
        &mut self.input
    }

    /// Local address, which identifies the connection.
    pub(crate) fn local(&self) -> SocketAddr {
        self.stream.local_addr().unwrap()
    }
}
