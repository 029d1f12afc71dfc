"""A verifier for the signed log of a run, written from the specification of the format (version 1).

Read the modules in this order to learn the format:

    spelling, times         how values and times are written
    lines, chain            a line, and how each line holds the one before
    wire, keys, signatures, shared_keys, certificates
                            who signed, and what a signature is
    signers, revocations, belief
                            whom to believe
    notes, statements, seals
                            what is signed in a log
    log                     the reading: one pass over the bytes, the first fault ends it
    redaction, anchors      copies that withhold, heads that others kept
    shapes, records, plan   what the records hold
    state, words, approval_facts, step_facts, transitions, machine, ending
                            the state machine of a run
    evidence, requests, answers, uses, rules
                            the rules by which a log is POLICY
    verdict, command        what is said, and how it is called
"""
