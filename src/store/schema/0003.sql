-- SPDX-License-Identifier: Apache-2.0
-- Schema 3: what Lync-compatible clients keep on the server. Owners are addresses; all of it goes with the account.

CREATE TABLE contact_lists (
    owner TEXT NOT NULL PRIMARY KEY,
    delta INTEGER NOT NULL,     -- rises with each change
    next_group INTEGER NOT NULL -- no group's number comes again
) STRICT, WITHOUT ROWID;

CREATE TABLE contact_groups (
    owner TEXT NOT NULL,
    id INTEGER NOT NULL,
    name TEXT NOT NULL,
    external TEXT NOT NULL,
    PRIMARY KEY (owner, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE contacts (
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- the order of the list
    owner TEXT NOT NULL,
    address TEXT NOT NULL,
    name TEXT NOT NULL,
    member_of TEXT NOT NULL, -- numbers of groups: "1 2"
    subscribed INTEGER NOT NULL,
    external TEXT NOT NULL,
    UNIQUE (owner, address)
) STRICT;

-- How often each privacy relation's list of members changed.
CREATE TABLE containers (
    owner TEXT NOT NULL,
    container INTEGER NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (owner, container)
) STRICT, WITHOUT ROWID;

-- Publications that outlive the sign-in.
CREATE TABLE publications (
    owner TEXT NOT NULL,
    category TEXT NOT NULL,
    instance INTEGER NOT NULL,
    container INTEGER NOT NULL,
    version INTEGER NOT NULL,
    at INTEGER NOT NULL,
    document TEXT NOT NULL, -- what somebody wrote: never logged
    PRIMARY KEY (owner, category, instance, container)
) STRICT, WITHOUT ROWID;

-- Who put the owner on their list, and whether the owner has seen that.
CREATE TABLE followers (
    owner TEXT NOT NULL,
    follower TEXT NOT NULL,
    display_name TEXT NOT NULL,
    acknowledged INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (owner, follower)
) STRICT, WITHOUT ROWID;
