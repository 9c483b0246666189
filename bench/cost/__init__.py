"""What a model costs, of whatever study: time, energy, and the files and runtimes that it is deployed in."""
