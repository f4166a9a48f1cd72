"""What `biport.verify` found, as one page of HTML."""
