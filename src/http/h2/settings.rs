//! Settings (RFC 9113 §6.5) that the peer announces, and which values are errors. When a setting
//! takes effect on streams is decided by the connection.

use super::error::ConnectionError;
use super::frame::{FRAME_BYTES_DEFAULT, MAX_31_BITS, settings_of};

/// The window of a stream before SETTINGS change it, and the connection's, which no setting changes.
pub const WINDOW_DEFAULT: u32 = 65_535;

/// Identifiers of settings.
pub mod id {
    /// `SETTINGS_HEADER_TABLE_SIZE`.
    pub const HEADER_TABLE_SIZE: u16 = 0x1;
    /// `SETTINGS_ENABLE_PUSH`.
    pub const ENABLE_PUSH: u16 = 0x2;
    /// `SETTINGS_MAX_CONCURRENT_STREAMS`.
    pub const MAX_CONCURRENT_STREAMS: u16 = 0x3;
    /// `SETTINGS_INITIAL_WINDOW_SIZE`.
    pub const INITIAL_WINDOW_SIZE: u16 = 0x4;
    /// `SETTINGS_MAX_FRAME_SIZE`.
    pub const MAX_FRAME_SIZE: u16 = 0x5;
    /// `SETTINGS_MAX_HEADER_LIST_SIZE`.
    pub const MAX_HEADER_LIST_SIZE: u16 = 0x6;
    /// `SETTINGS_ENABLE_CONNECT_PROTOCOL` (RFC 8441 §3).
    pub const ENABLE_CONNECT_PROTOCOL: u16 = 0x8;
    /// `SETTINGS_NO_RFC7540_PRIORITIES` (RFC 9218 §2.1).
    pub const NO_RFC7540_PRIORITIES: u16 = 0x9;
}

/// The settings of an endpoint that its peer needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Bytes of its decoder's dynamic table. When one frame sets it several times, the
    /// smallest must be announced too (RFC 7541 §4.2): [`settings_of`] has them all.
    pub table_bytes: u32,
    /// Initial window of its streams.
    pub initial_window: u32,
    /// Longest payload it accepts.
    pub frame_bytes: u32,
    /// Streams that its peer may open at once; `None` for any number.
    pub streams_max: Option<u32>,
    /// Whether it accepts extended CONNECT (RFC 8441 §3).
    pub connect_protocol: bool,
}

impl Settings {
    /// The values before SETTINGS are received.
    pub const DEFAULT: Settings = Settings {
        table_bytes: super::hpack::TABLE_BYTES_DEFAULT,
        initial_window: WINDOW_DEFAULT,
        frame_bytes: FRAME_BYTES_DEFAULT,
        streams_max: None,
        connect_protocol: false,
    };

    /// Applies the payload of a SETTINGS frame, whose length was checked. Unknown settings are ignored; of
    /// repeated ones the last counts.
    ///
    /// # Errors
    /// A value that its setting cannot have.
    pub fn apply(&mut self, payload: &[u8]) -> Result<(), ConnectionError> {
        for (setting, value) in settings_of(payload) {
            match setting {
                id::HEADER_TABLE_SIZE => self.table_bytes = value,
                id::MAX_CONCURRENT_STREAMS => self.streams_max = Some(value),
                id::INITIAL_WINDOW_SIZE if value > MAX_31_BITS => {
                    return Err(ConnectionError::InitialWindowTooLarge);
                }
                id::INITIAL_WINDOW_SIZE => self.initial_window = value,
                id::MAX_FRAME_SIZE if !(FRAME_BYTES_DEFAULT..1 << 24).contains(&value) => {
                    return Err(ConnectionError::MaxFrameSizeOutOfRange);
                }
                id::MAX_FRAME_SIZE => self.frame_bytes = value,
                id::ENABLE_PUSH | id::ENABLE_CONNECT_PROTOCOL | id::NO_RFC7540_PRIORITIES if value > 1 => {
                    return Err(ConnectionError::SettingNotSwitch);
                }
                id::ENABLE_CONNECT_PROTOCOL => self.connect_protocol = value == 1,
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::h2::frame::{HEADER_BYTES, write_settings};

    fn applied(settings: &[(u16, u32)]) -> Result<Settings, ConnectionError> {
        let mut frame = Vec::new();
        write_settings(&mut frame, settings);
        let mut known = Settings::DEFAULT;
        known.apply(&frame[HEADER_BYTES..]).map(|()| known)
    }

    #[test]
    fn settings_are_taken_and_unknown_ones_ignored() {
        let known = applied(&[(1, 0), (3, 7), (4, 1 << 20), (5, 32768), (6, 1), (4, 9), (0xaaaa, u32::MAX)]);
        let expected = Settings {
            table_bytes: 0,
            initial_window: 9,
            frame_bytes: 32768,
            streams_max: Some(7),
            connect_protocol: false,
        };
        assert_eq!(known, Ok(expected));
        assert_eq!(applied(&[]), Ok(Settings::DEFAULT));
    }

    #[test]
    fn values_out_of_range_are_errors() {
        use ConnectionError::{InitialWindowTooLarge, MaxFrameSizeOutOfRange, SettingNotSwitch};
        assert_eq!(applied(&[(4, 0x7fff_ffff)]).map(|s| s.initial_window), Ok(0x7fff_ffff));
        assert_eq!(applied(&[(4, 0x8000_0000)]), Err(InitialWindowTooLarge));
        assert_eq!(applied(&[(5, 16383)]), Err(MaxFrameSizeOutOfRange));
        assert_eq!(applied(&[(5, 16_777_215)]).map(|s| s.frame_bytes), Ok(16_777_215));
        assert_eq!(applied(&[(5, 16_777_216)]), Err(MaxFrameSizeOutOfRange));
        for switch in [2, 8, 9] {
            let expected = Settings { connect_protocol: switch == 8, ..Settings::DEFAULT };
            assert_eq!(applied(&[(switch, 1)]), Ok(expected));
            assert_eq!(applied(&[(switch, 2)]), Err(SettingNotSwitch), "{switch}");
        }
    }
}
