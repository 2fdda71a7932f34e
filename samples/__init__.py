"""One folder for each area: configuration, dataset, commands, and a README with scores."""
