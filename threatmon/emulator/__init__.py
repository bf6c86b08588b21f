"""AWS emulated in this process by moto: what a Pulumi resource registration becomes there, as a table of types."""
