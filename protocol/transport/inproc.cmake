csl_module(csl_inproc
  SOURCES inproc.c inproc_session.c inproc_bulk.c
  LINK csl_wire csl_base m)
