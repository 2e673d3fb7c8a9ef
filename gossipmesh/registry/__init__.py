"""Signed member records: which are held, how two nodes compare them, and how they become equal.

    store.py          the records and chains that were verified, one record per id, and why others are refused
    places.py         how many members each token has, and may have
    pool.py           records whose chain is not known yet: bounded, fair per source, without effect
    digest.py         what a set of records hashes to: 256 buckets and one root
    sync_messages.py  the bytes of anti-entropy's requests and responses
    sync.py           anti-entropy itself: an initiator's round, and the stateless answer to each request
    names.py          which id shows under which name

The law:

1. What is held was verified here, and what is sent on is held; so nothing unverified travels further than one hop.
2. The newest version that its owner signed wins, whatever the order of arrival. A version that was buried does
   not come back, and what has expired neither verifies nor counts in a digest.
3. Received bytes are kept and sent on exactly as they came.
4. Each collection has a named maximum, and no peer can push out what another peer has.
"""
