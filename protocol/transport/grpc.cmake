if(CSL_GRPC)
  csl_module(csl_grpc
    SOURCES grpc_init.c grpc_tls.c grpc_bytes.c grpc_call.c grpc_flow.c grpc_session.c grpc_server.c
            grpc_bulk.c grpc_client.c grpc_client_bulk.c grpc_health.c grpc_reflection.c
    LINK csl_wire csl_identity csl_base
    PRIVATE_LINK csl_proto csl_grpc_core PkgConfig::OPENSSL)
endif()
