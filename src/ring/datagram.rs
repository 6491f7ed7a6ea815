//! Datagram sockets (UDP): every receive and send owns its buffer.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;

use io_uring::{opcode, types};

use super::core::{Core, Ring};
use super::op;
use super::slots::{DatagramMessage, OpPayload};
use super::sys::{self, RawAddr};

/// A bound datagram socket.
pub struct Datagram {
    core: Rc<Core>,
    fd: Rc<OwnedFd>,
}

impl Ring {
    /// Binds a UDP socket, shared with other cores through SO_REUSEPORT.
    ///
    /// # Errors
    /// The kernel's: address in use, no permission.
    pub fn bind_datagram(&self, addr: SocketAddr) -> io::Result<Datagram> {
        let family = if addr.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
        let fd = sys::socket(family, libc::SOCK_DGRAM)?;
        sys::set_option(fd.as_raw_fd(), libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
        sys::bind(&fd, &RawAddr::inet(addr), None)?;
        Ok(Datagram { core: self.core.clone(), fd: Rc::new(fd) })
    }
}

impl Datagram {
    /// The address it is bound to.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        sys::socket_addr(self.fd.as_raw_fd(), false)
    }

    /// Receives one datagram into `buffer` (up to its capacity; the rest of a longer one is lost, see
    /// recvmsg(2)) and returns the sender's address.
    pub async fn recv_from(&self, mut buffer: Vec<u8>) -> io::Result<(Vec<u8>, Option<SocketAddr>)> {
        buffer.clear();
        let mut message = message(buffer, RawAddr::empty());
        message.part.iov_len = message.bytes.capacity();
        let entry = opcode::RecvMsg::new(types::Fd(self.fd.as_raw_fd()), &raw mut message.header).build();
        let (result, payload) =
            op::submit(&self.core, entry, OpPayload::Message(message, self.fd.clone())).await;
        let received = op::to_result(result)? as usize;
        let OpPayload::Message(message, _) = payload else {
            unreachable!("an operation returns its payload")
        };
        let DatagramMessage { addr, mut bytes, .. } = *message;
        // SAFETY: the kernel wrote `received` bytes from the start, at most the capacity it was given.
        unsafe { bytes.set_len(received.min(bytes.capacity())) };
        Ok((bytes, addr.to_inet()))
    }

    /// Sends one datagram and returns its buffer.
    pub async fn send_to(&self, bytes: Vec<u8>, to: SocketAddr) -> io::Result<Vec<u8>> {
        let message = message(bytes, RawAddr::inet(to));
        let entry = opcode::SendMsg::new(types::Fd(self.fd.as_raw_fd()), &raw const message.header)
            .flags(libc::MSG_NOSIGNAL as u32)
            .build();
        let (result, payload) =
            op::submit(&self.core, entry, OpPayload::Message(message, self.fd.clone())).await;
        op::to_result(result)?;
        let OpPayload::Message(message, _) = payload else {
            unreachable!("an operation returns its payload")
        };
        Ok(message.bytes)
    }
}

/// A boxed message whose header points at its own parts.
fn message(bytes: Vec<u8>, addr: RawAddr) -> Box<DatagramMessage> {
    // SAFETY: an all-zero msghdr and iovec are valid: no name, no parts.
    let (header, part) = unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
    let mut message: Box<DatagramMessage> = Box::new(DatagramMessage { header, part, addr, bytes });
    message.part.iov_base = message.bytes.as_mut_ptr().cast();
    message.part.iov_len = message.bytes.len();
    message.header.msg_name = (&raw mut message.addr.storage).cast();
    message.header.msg_namelen = message.addr.len;
    message.header.msg_iov = &raw mut message.part;
    message.header.msg_iovlen = 1;
    message
}
