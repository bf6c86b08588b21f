"""AWS emulated in this process by moto: resource types by service, delivery of events, deployment of a stack."""
