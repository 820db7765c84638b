"""What a training costs on a device: its step, the products of maps, small runs beside each other."""
