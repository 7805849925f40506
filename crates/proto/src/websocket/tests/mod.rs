//! Tests of the WebSocket codec, by subject.
//!
//! What a tracker decides about a message is not tested here.
