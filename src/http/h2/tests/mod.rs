//! The machine as a dialogue: whole connections, byte by byte and split anywhere.
