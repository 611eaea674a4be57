// This file lets functions of the package have no body.
