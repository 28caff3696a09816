"""The one Spark setting that decides whether the kernels run compiled.

Spark fuses a projection into one Java method, and HotSpot compiles no method of more than 8000 bytes of bytecode (its
HugeMethodLimit, which DontCompileHugeMethods enforces). Encoding takes 300 to 900 bytes a column, so that from about a
dozen columns on it would be interpreted, twenty times slower, since Spark's own limit lies at 65535 bytes. With the
limit below Spark evaluates such a projection in several methods, each of which is compiled.

Library code changes no setting: sessions that Synthward builds have it, and preflight warns where another has not.
"""

METHOD_LIMIT_KEY = "spark.sql.codegen.hugeMethodLimit"
METHOD_LIMIT = 8000
"""Bytes of bytecode."""
