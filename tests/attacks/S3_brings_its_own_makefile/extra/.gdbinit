shell echo owned > @CANARY@
