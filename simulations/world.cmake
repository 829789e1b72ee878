# The whole system in one process, and as processes on this machine.
csl_module(csl_world
  SOURCES world.c attack.c ledgers.c federation.c ceremony.c
  LINK csl_ledger csl_audit csl_dp csl_coordinator csl_site_agent csl_inproc csl_study csl_base m)
csl_module(csl_processes
  SOURCES processes.c processes_gate.c processes_prepare.c
  LINK csl_world csl_coord_store csl_model csl_identity csl_study csl_base)
target_compile_definitions(csl_processes PRIVATE $<$<BOOL:${CSL_TESTS}>:CSL_TEST_SEEDS>)
