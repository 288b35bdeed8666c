//! A crash-safe segment log: the edge's spill file and the embedded click stream
