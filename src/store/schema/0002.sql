-- SPDX-License-Identifier: Apache-2.0
-- Schema 2: what NTLM needs, for those whose policy allows it. It goes with the password it was made of.

CREATE TABLE nt_hashes (
    user_id INTEGER NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    hash BLOB NOT NULL CHECK (length(hash) = 16) -- secret: worth the password to whoever has it
) STRICT;
