//! Keys of slots, as the kernel carries them in `user_data`.

/// Kinds of completions; the low byte of `user_data`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum OpKind {
    /// The completion is ignored: close, shutdown, cancel, the park timer.
    Ignore = 0,
    Accept = 1,
    Recv = 2,
    Send = 3,
    Op = 4,
    /// A send of the current batch: posts a completion only when it failed or fell short.
    Batch = 5,
    Alarm = 6,
}

impl OpKind {
    /// Whether exactly one final completion is guaranteed, which `in_flight` counts.
    pub(super) fn is_counted(data: u64) -> bool {
        [OpKind::Accept, OpKind::Recv, OpKind::Send, OpKind::Op]
            .into_iter()
            .any(|kind| data & 0xff == kind as u64)
    }
}

/// Index and generation of a slot, packed with a kind into `user_data`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Key {
    pub(super) index: u32,
    pub(super) generation: u32,
}

impl Key {
    pub(super) fn user_data(self, kind: OpKind) -> u64 {
        (self.generation as u64) << 40 | (self.index as u64) << 8 | kind as u64
    }

    pub(super) fn from_user_data(data: u64) -> Self {
        Self { index: (data >> 8) as u32, generation: (data >> 40) as u32 }
    }

    /// As a token of the timer wheel; bit 0 distinguishes sockets from operations.
    pub(super) fn token(self, is_socket: bool) -> u64 {
        self.user_data(OpKind::Ignore) | is_socket as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_survive_user_data() {
        for key in [Key { index: 0, generation: 0 }, Key { index: u32::MAX, generation: 0xff_ffff }] {
            for kind in [OpKind::Ignore, OpKind::Accept, OpKind::Recv, OpKind::Send, OpKind::Op] {
                let data = key.user_data(kind);
                assert_eq!(Key::from_user_data(data), key);
                assert_eq!(data & 0xff, kind as u64);
            }
        }
    }
}
