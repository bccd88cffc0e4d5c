//! Every format through play, mix, encode, the server's recording, and a decoder.
