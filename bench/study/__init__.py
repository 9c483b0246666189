"""From a study to finished trials: its images, the plan, the jobs, where they run, and what is said of them."""
