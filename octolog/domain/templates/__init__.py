"""Templates and documents, without any XML: what they say, whether it is legal, how they are kept and found.

A document is a syntax tree (`ASTNode`) on its way between XML, which `schemas.xml` reads and writes, and an operator
program, which the task processor evaluates. Here is everything about it that is a pure function of that tree.
"""
