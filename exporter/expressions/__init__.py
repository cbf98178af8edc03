"""JMESPath with arithmetic (JEP 16) for untrusted responses.

Importing `tree` or `evaluation` costs memory, so they are imported with the first expression. Expressions
are the user's own and are checked with the configuration. Responses are not trusted: a missing value gives
nothing, and what an expression may cost for one is limited by a `budget`.
"""
